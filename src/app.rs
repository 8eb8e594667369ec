//! Composition root: config → world → listeners. Reload builds a new world and swaps it.
