//! The rules that hold over histories and across runs, one by one: guards, the ledger, the owner, the graph.

mod graph;
mod guard;
mod ledger;
mod owner;
