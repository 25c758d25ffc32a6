"""A static page that runs an exported graph in the browser: ``page/`` are its files, as they are served."""
