//! Signals, drain, readiness.
