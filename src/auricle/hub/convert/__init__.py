"""Read and write the published checkpoint layouts of each project: tensor names, settings and folder names."""
