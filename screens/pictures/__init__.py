"""Pictures in text: pure functions from what the engine says to lines of parts. No widget, no clock, no network.

Drawn with box characters; a terminal that lacks them gets plain ones when the line is painted, cell for cell. Where that
can't work (braille, eighth blocks) the function asks whether it may (`ascii`), as in `screens.plots`.
"""
