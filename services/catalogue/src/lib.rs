#![doc = include_str!("../README.md")]

pub mod product;

pub mod products;
pub mod titles;

pub mod graph;

use contracts::catalogue::{
    DelistProduct, ListProduct, ProductDelisted, ProductListed, ProductRetitled, RetitleProduct,
};
use micrograph::Micrograph;
use product::Product;

/// The catalogue.
pub fn micrograph() -> Micrograph {
    Micrograph::new("catalogue")
        .owns::<Product>()
        .decides::<Product, ListProduct>()
        .decides::<Product, RetitleProduct>()
        .decides::<Product, DelistProduct>()
        .publishes::<ProductListed>()
        .publishes::<ProductRetitled>()
        .publishes::<ProductDelisted>()
        .consumes(products::projection())
        .consumes(titles::projection())
        .serves(graph::subgraph)
}
