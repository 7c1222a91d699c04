"""Report on runs: tables, pictures and one HTML page."""
