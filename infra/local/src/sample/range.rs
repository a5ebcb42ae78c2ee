//! What the shop sells.

use contracts::catalogue::Category;

/// A product, with its prices in hundredths of the market's currency. Not every market has it.
pub(super) struct Article {
    pub sku: &'static str,
    pub category: Category,
    pub title: &'static str,
    prices: [u16; 3],
}

/// A country that the shop sells to.
pub(super) struct Market {
    /// ISO 3166 code.
    pub code: &'static str,
    /// The country's name in English.
    pub country: &'static str,
    /// ISO 4217 code.
    pub currency: &'static str,
    /// What it costs to send an order, in hundredths.
    pub postage: u16,
}

/// The first is the one at home, where everything is sold.
pub(super) const MARKETS: [Market; 3] = [
    Market { code: "GB", country: "United Kingdom", currency: "GBP", postage: 395 },
    Market { code: "IE", country: "Ireland", currency: "EUR", postage: 650 },
    Market { code: "US", country: "United States", currency: "USD", postage: 995 },
];

/// All products, those that sell best first.
pub(super) fn articles() -> Vec<Article> {
    let article = |category: &Category, (sku, title, prices)| Article {
        sku,
        category: category.clone(),
        title,
        prices,
    };
    let cards = CARDS.into_iter().map(|it| article(&Category::Card, it));
    let gifts = GIFTS.into_iter().map(|it| article(&Category::Gift, it));
    let flowers = FLOWERS.into_iter().map(|it| article(&Category::Flowers, it));
    // One of each in turn, so that each kind has its best sellers.
    let mut kinds: [Box<dyn Iterator<Item = Article>>; 3] =
        [Box::new(cards), Box::new(gifts), Box::new(flowers)];
    let rounds =
        (0..CARDS.len()).flat_map(|_| kinds.iter_mut().filter_map(Iterator::next).collect::<Vec<_>>());
    rounds.collect()
}

impl Article {
    /// The price in a market by its place in [`MARKETS`], in hundredths, if it is sold there.
    pub(super) fn price(&self, market: usize) -> Option<u16> {
        Some(self.prices[market]).filter(|price| *price > 0)
    }
}

type Written = (&'static str, &'static str, [u16; 3]);

const CARDS: [Written; 16] = [
    ("CA101", "Birthday card, fox with a balloon", [295, 350, 399]),
    ("CA102", "Thank you card, jar of buttons", [275, 325, 375]),
    ("CA103", "New home card, snail with a suitcase", [295, 350, 399]),
    ("CA104", "Get well card, hedgehog in a scarf", [275, 325, 0]),
    ("CA105", "Wedding card, two teapots", [350, 425, 475]),
    ("CA106", "Anniversary card, old bicycle", [325, 395, 450]),
    ("CA107", "New baby card, paper boat", [295, 350, 399]),
    ("CA108", "Good luck card, very small elephant", [250, 295, 350]),
    ("CA109", "Sympathy card, quiet lake", [295, 350, 0]),
    ("CA110", "Blank card, linocut heron", [225, 275, 325]),
    ("CA111", "Blank card, allotment in June", [225, 0, 0]),
    ("CA112", "Birthday card, cake that leans", [295, 350, 399]),
    ("CA113", "Birthday card, number five in stripes", [250, 295, 0]),
    ("CA114", "Christmas cards, robins, box of ten", [699, 850, 995]),
    ("CA115", "Well done card, owl with a diploma", [275, 325, 375]),
    ("CA116", "Sorry card, dog beside a shoe", [275, 0, 375]),
];

const GIFTS: [Written; 14] = [
    ("GI201", "Enamel mug, harbour blue", [1195, 1395, 1595]),
    ("GI202", "Beeswax candle, tall", [895, 1050, 1250]),
    ("GI203", "Tin of sea salt caramels", [750, 895, 1095]),
    ("GI204", "Wool socks, tawny stripe", [1450, 1695, 1995]),
    ("GI205", "Wooden spinning top", [625, 750, 895]),
    ("GI206", "Tea towel, map of imaginary islands", [995, 1195, 1395]),
    ("GI207", "Pocket notebook, marbled", [550, 650, 795]),
    ("GI208", "Jigsaw, market square, 500 pieces", [1895, 2195, 2495]),
    ("GI209", "Lavender pillow", [1150, 1350, 0]),
    ("GI210", "Brass bookmark, feather", [695, 825, 995]),
    ("GI211", "Hot chocolate flakes, jar", [850, 0, 0]),
    ("GI212", "Cast iron bird feeder", [2450, 2895, 0]),
    ("GI213", "Set of four coasters, slate", [1695, 1995, 2295]),
    ("GI214", "Music box, hurdy-gurdy tune", [2195, 2595, 2995]),
];

const FLOWERS: [Written; 10] = [
    ("FL301", "Letterbox flowers, spray roses", [2495, 2895, 0]),
    ("FL302", "Tulips by the armful", [2795, 3250, 0]),
    ("FL303", "Dried flowers, meadow mix", [2250, 2695, 3195]),
    ("FL304", "Sunflowers, bunch of seven", [1995, 2395, 0]),
    ("FL305", "Peonies in May", [3495, 0, 0]),
    ("FL306", "Potted orchid, white", [2995, 0, 0]),
    ("FL307", "Sweet peas, small jug", [1895, 2250, 0]),
    ("FL308", "Eucalyptus and thistle", [2650, 3095, 0]),
    ("FL309", "Paperwhites, three bulbs in a bowl", [1595, 1895, 0]),
    ("FL310", "Dried lavender, large bunch", [1495, 1795, 2195]),
];
