"""One reader per family of formats: each turns a `Request` into `KSpace` or `Image`."""
