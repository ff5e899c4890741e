"""Tables of the keys that each section has, and the JSON Schema made from them."""
