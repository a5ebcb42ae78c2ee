#![doc = include_str!("../README.md")]

mod generations;
mod tag;
mod token;

pub use generations::{GENERATIONS, GENERATIONS_EXTENSION, GENERATIONS_NEXT, Generations, MOST_GENERATIONS};
pub use tag::{CACHE_TAG, MOST_TAGS, Tag, Tags};
pub use token::{
    CONSISTENCY_BEHIND, CONSISTENCY_TOKEN, Key, LIFE_SECONDS, MOST_WRITES, Token, TokenError, Write,
};
