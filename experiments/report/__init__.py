"""Tables, pictures and the HTML page about runs."""
