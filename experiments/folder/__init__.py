"""Write, resume and read run folders."""
