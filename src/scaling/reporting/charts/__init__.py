"""The interactive figures of a page, as Vega-Lite specifications that a browser draws.

A chart holds all settings and measures; the signals `setting` and `measure`, which the page's menus
set, choose those that are shown.
"""
