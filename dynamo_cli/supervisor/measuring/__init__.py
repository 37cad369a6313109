"""What a deployment does, in numbers: asked of admin sockets, the system and the driver, kept for who wants to know."""
