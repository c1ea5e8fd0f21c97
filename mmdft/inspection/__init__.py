"""`mmdft inspect`: what is trained on, as records, a page and a form for the terminal."""
