"""What a person types: lines with editing, history and completion, put together into messages."""
