"""The look of Qt's own widgets, made from a Theme: one style sheet and one palette."""

from __future__ import annotations

from PySide6.QtGui import QColor, QPalette

from trickster_gui.theme import Theme

_SHEET = """
QWidget {{ color: {text}; }}
QMainWindow, QDialog, #page {{ background: {background}; }}
#topBar {{ background: {surface}; border-bottom: 1px solid {border}; }}
#messageBar {{ background: {surface}; border-top: 1px solid {border}; }}
#designPanel, #designPanel QScrollArea, #designRows {{ background: {surface}; }}
#designPanel {{ border-right: 1px solid {border}; }}
#group {{ border: none; border-top: 1px solid {border}; }}
#group[first="true"] {{ border: none; }}
QScrollArea {{ border: none; background: transparent; }}
QSplitter::handle {{ background: {border}; }}
QSplitter::handle:hover {{ background: {accent}; }}
QSplitter#rows::handle {{ background: transparent; }}
QSplitter#rows::handle:hover {{ background: {border}; }}
QToolTip {{ background: {raised}; color: {text}; border: 1px solid {border}; padding: 4px; }}
QLineEdit {{
    background: {background}; color: {text}; border: 1px solid {border}; border-radius: 5px;
    padding: 2px 5px; selection-background-color: {accent}; selection-color: {accent_text};
}}
QLineEdit:hover {{ border-color: {faint}; }}
QLineEdit:focus {{ border: 1px solid {accent}; background: {surface}; }}
QLineEdit[refused="true"] {{ border: 1px solid {danger}; color: {danger}; }}
QLineEdit[plain="true"] {{ background: transparent; border: 1px solid transparent; }}
QLineEdit[plain="true"]:hover {{ border-color: {border}; }}
QLineEdit[plain="true"]:focus {{ border-color: {accent}; background: {surface}; }}
QLabel[problem="true"] {{ color: {danger}; }}
QLineEdit:disabled {{ color: {faint}; }}
QPushButton {{
    background: {surface}; border: 1px solid {border}; border-radius: 6px; padding: 4px 12px;
}}
QPushButton:hover {{ background: {raised}; }}
QPushButton:pressed {{ background: {border}; }}
QPushButton:focus {{ border: 1px solid {accent}; }}
QPushButton:disabled {{ color: {faint}; }}
QPushButton[primary="true"] {{
    background: {accent}; color: {accent_text}; border-color: {accent}; font-weight: 600;
}}
QPushButton[primary="true"]:disabled {{
    background: {raised}; color: {faint}; border-color: {border};
}}
QPushButton[primary="true"]:focus {{ border: 2px solid {text}; }}
QPushButton[fix="true"] {{ padding: 1px 8px; border-radius: 5px; border-color: {danger}; }}
QPushButton[fix="true"]:focus {{ border: 2px solid {accent}; }}
#segments {{ background: {raised}; border: 1px solid {border}; border-radius: 6px; }}
QPushButton[segment="true"] {{
    background: transparent; border: 1px solid transparent; border-radius: 4px;
    padding: 2px 2px; color: {muted};
}}
QPushButton[segment="true"]:hover {{ color: {text}; }}
QPushButton[segment="true"]:checked {{
    background: {surface}; color: {text}; border-color: {border}; font-weight: 500;
}}
QPushButton[segment="true"]:disabled {{
    background: transparent; border-color: transparent; color: {faint};
}}
QPushButton[segment="true"]:focus {{ border: 1px solid {accent}; }}
QComboBox {{
    background: {background}; border: 1px solid {border}; border-radius: 5px; padding: 2px 6px;
}}
QComboBox:hover {{ border-color: {faint}; }}
QComboBox:focus {{ border-color: {accent}; }}
QComboBox::drop-down {{ border: none; width: 14px; }}
QComboBox QAbstractItemView {{
    background: {surface}; border: 1px solid {border}; selection-background-color: {accent};
    selection-color: {accent_text}; outline: none;
}}
QMenu {{ background: {surface}; border: 1px solid {border}; padding: 5px; }}
QMenu::item {{ padding: 5px 26px 5px 12px; border-radius: 4px; }}
QMenu::item:selected {{ background: {accent}; color: {accent_text}; }}
QMenu::item:disabled {{ color: {faint}; }}
QMenu::separator {{ height: 1px; background: {border}; margin: 5px 4px; }}
#findings {{ background: {surface}; border: 1px solid {border}; border-radius: 8px; }}
#popup {{ background: {surface}; border: 1px solid {border}; border-radius: 8px; }}
#popup QLineEdit {{ background: transparent; border: none; border-radius: 0;
    border-bottom: 1px solid {border}; padding: 8px 10px; }}
QListView {{ background: transparent; border: none; outline: none; }}
QTextEdit, QPlainTextEdit, QTextBrowser {{
    background: {background}; border: 1px solid {border}; border-radius: 5px;
    selection-background-color: {accent}; selection-color: {accent_text};
}}
QScrollBar:vertical {{ background: transparent; width: 10px; margin: 0; }}
QScrollBar:horizontal {{ background: transparent; height: 10px; margin: 0; }}
QScrollBar::handle {{ background: {border}; border-radius: 3px; margin: 2px; }}
QScrollBar::handle:vertical {{ min-height: 28px; }}
QScrollBar::handle:horizontal {{ min-width: 28px; }}
QScrollBar::handle:hover {{ background: {faint}; }}
QScrollBar::add-line, QScrollBar::sub-line {{ width: 0; height: 0; }}
QScrollBar::add-page, QScrollBar::sub-page {{ background: transparent; }}
QProgressBar {{ background: {raised}; border: none; border-radius: 3px; text-align: center; }}
QProgressBar::chunk {{ background: {accent}; border-radius: 3px; }}
"""


def style_sheet(theme: Theme) -> str:
    """The style sheet of the whole window in this theme."""
    names = ("background", "surface", "raised", "border", "text", "muted", "faint", "accent",
             "accent_text", "danger")  # fmt: skip
    return _SHEET.format(**{name: getattr(theme, name) for name in names})


def palette(theme: Theme) -> QPalette:
    """The palette for what the style sheet does not reach (plots, native dialogs, placeholders)."""
    roles = {
        QPalette.ColorRole.Window: theme.background,
        QPalette.ColorRole.WindowText: theme.text,
        QPalette.ColorRole.Base: theme.surface,
        QPalette.ColorRole.AlternateBase: theme.raised,
        QPalette.ColorRole.Text: theme.text,
        QPalette.ColorRole.PlaceholderText: theme.faint,
        QPalette.ColorRole.Button: theme.raised,
        QPalette.ColorRole.ButtonText: theme.text,
        QPalette.ColorRole.ToolTipBase: theme.raised,
        QPalette.ColorRole.ToolTipText: theme.text,
        QPalette.ColorRole.Highlight: theme.accent,
        QPalette.ColorRole.HighlightedText: theme.accent_text,
        QPalette.ColorRole.Link: theme.accent,
        QPalette.ColorRole.Mid: theme.border,
        QPalette.ColorRole.Accent: theme.accent,
    }
    result = QPalette()
    for role, colour in roles.items():
        result.setColor(role, QColor(colour))
    for role in (QPalette.ColorRole.Text, QPalette.ColorRole.ButtonText):
        result.setColor(QPalette.ColorGroup.Disabled, role, QColor(theme.faint))
    return result
