"""The bus: two drivers behind one set of types, the guard against hostile callers, polkit."""
