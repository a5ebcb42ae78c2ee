//! Who buys. Nobody here exists, nor do their addresses.

/// A customer.
pub(super) struct Buyer {
    pub id: String,
    pub name: &'static str,
    pub email: String,
    /// The market by its place in [`MARKETS`](super::range::MARKETS).
    pub market: usize,
}

/// All customers, those who buy most first.
pub(super) fn buyers() -> Vec<Buyer> {
    let buyer = |(place, (name, market)): (usize, (&'static str, usize))| Buyer {
        id: format!("S{}", 101 + place),
        name,
        email: format!("{}@example.com", name.to_lowercase().replace(' ', ".")),
        market,
    };
    NAMES.into_iter().enumerate().map(buyer).collect()
}

const NAMES: [(&str, usize); 25] = [
    ("Marigold Ashdown", 0),
    ("Tobias Fennimore", 0),
    ("Orla Devanney", 1),
    ("Winifred Castlebury", 0),
    ("Hank Lindqvist", 2),
    ("Priya Marlowe", 0),
    ("Cormac Tullabeg", 1),
    ("Beatrix Holloway", 0),
    ("Desmond Okafor", 0),
    ("Juniper Vance", 2),
    ("Alistair Pennycook", 0),
    ("Saoirse Kilbride", 1),
    ("Hester Wrenfield", 0),
    ("Ivo Brandreth", 0),
    ("Delphine Harcastle", 0),
    ("Walt Sorensen", 2),
    ("Niamh Rathcool", 1),
    ("Rufus Thistlewood", 0),
    ("Anwen Pritchard", 0),
    ("Gideon Saltmarsh", 0),
    ("Loretta Quill", 2),
    ("Mabel Underhay", 0),
    ("Fergus Balloch", 0),
    ("Yusuf Garrick", 0),
    ("Clementine Osgood", 0),
];
