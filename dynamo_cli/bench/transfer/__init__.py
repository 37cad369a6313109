"""What it costs to move KV from one worker to another, over TCP and by NIXL."""
