"""jinja2 templates within a budget of steps and size."""
