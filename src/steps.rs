//! The steps of a decision, told to whoever listens: `explain` prints them, serving ignores them.

/// Hears each step of a decision. Serving uses `()`, which compiles to nothing.
pub trait Steps {
    /// A step and what was found. `detail` runs only when somebody listens, and never holds a
    /// token or secret.
    fn step(&mut self, name: &'static str, detail: impl FnOnce() -> String);
}

impl Steps for () {
    #[inline]
    fn step(&mut self, _name: &'static str, _detail: impl FnOnce() -> String) {}
}

/// An optional text as a step shows it: quoted, or `none`.
#[must_use]
pub fn shown(text: Option<&str>) -> String {
    text.map_or_else(|| "none".to_owned(), |text| format!("{text:?}"))
}

/// Keeps every step, for `explain`.
#[derive(Debug, Default)]
pub struct Transcript(pub Vec<(&'static str, String)>);

impl Steps for Transcript {
    fn step(&mut self, name: &'static str, detail: impl FnOnce() -> String) {
        self.0.push((name, detail()));
    }
}
