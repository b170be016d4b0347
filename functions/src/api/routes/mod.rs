//! One file per noun. A handler's arguments say who may call it; its body asks `shared` and wraps the answer.

pub mod billing;
pub mod health;
pub mod inventory;
