"""Getting the images, audio and video that requests name by URL."""
