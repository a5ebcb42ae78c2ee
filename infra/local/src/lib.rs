#![doc = include_str!("../README.md")]

pub mod cli;

pub mod folder;
pub mod shop;
pub mod suite;
pub mod wiring;

pub mod tally;

pub mod admin;
pub mod archiving;
pub mod deployed;
pub mod generations;
pub mod publish;
pub mod purging;
pub mod quarantine;
pub mod regions;
pub mod server;

pub mod import;
pub mod importing;
pub mod sample;

pub mod gate;
