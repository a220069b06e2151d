//! Floor 3: the one request path, one file a step.
