"""The charts of a page: what each draws, as plain JSON, and beside it the script that draws it."""
