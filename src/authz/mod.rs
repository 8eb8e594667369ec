//! Principal → permit. Pure: routes, rules, and the permit that nobody else can make.

pub mod decision;
pub mod enriched;
pub mod identity;
pub mod route;
pub mod rule;

pub use self::decision::{Decision, Permit};
pub use self::route::{Route, RouteTable};
pub use self::rule::Rule;
