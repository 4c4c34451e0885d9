"""What must hold of every flow, whatever its table says, and the explorer that shows it on the machine itself."""
