//! The aggregate: a customer who registers, and may be erased.

use contracts::Extra;
use contracts::customers::{self, CustomerErased, CustomerRegistered, EraseCustomer, RegisterCustomer};
use micrograph::{Aggregate, Context, Decide, Decision, Rejection};

/// The longest number, name, address and country, in characters.
pub const MAX_TEXT: usize = 200;

/// A customer.
#[derive(Debug)]
pub enum Customer {}

impl Aggregate for Customer {
    const NAME: &str = "customer";
    type State = customers::Customer;
}

impl Decide<RegisterCustomer> for Customer {
    fn decide(
        state: Option<&Self::State>,
        command: &RegisterCustomer,
        context: &Context,
    ) -> Result<Decision<Self::State>, Rejection> {
        check(command)?;
        if context.deleted {
            let why = format!("customer `{}` was erased, for good: use another number", command.id);
            return Err(Rejection::new("CUSTOMER_ERASED", why));
        }
        if state.is_some() {
            return Ok(Decision::unchanged());
        }
        let RegisterCustomer { id, name, email, country } = command.clone();
        let customer = customers::Customer {
            id,
            name,
            email,
            country,
            registered_at: context.at,
            extra: Extra::default(),
        };
        Ok(Decision::state(customer.clone(), &CustomerRegistered(customer)))
    }
}

impl Decide<EraseCustomer> for Customer {
    fn decide(
        state: Option<&Self::State>,
        command: &EraseCustomer,
        context: &Context,
    ) -> Result<Decision<Self::State>, Rejection> {
        match state {
            Some(_) => {
                let erased = CustomerErased { id: command.id.clone(), extra: Extra::default() };
                Ok(Decision::deleted(&erased))
            }
            None if context.deleted => Ok(Decision::unchanged()),
            None => {
                let why = format!("no customer with number `{}` is registered", command.id);
                Err(Rejection::new("UNKNOWN_CUSTOMER", why))
            }
        }
    }
}

/// What is wrong is said without quoting what is personal.
fn check(command: &RegisterCustomer) -> Result<(), Rejection> {
    let RegisterCustomer { id, name, email, country } = command;
    if id.trim().is_empty() || id.trim() != id || !fits(id) {
        let why = format!("a customer's number has 1 to {MAX_TEXT} characters, and no space around them");
        return Err(Rejection::new("INVALID_CUSTOMER_ID", why));
    }
    if country.trim().is_empty() || !fits(country) {
        let why = format!("a country is not blank, and has at most {MAX_TEXT} characters");
        return Err(Rejection::new("INVALID_COUNTRY", why));
    }
    if name.as_ref().is_some_and(|name| name.trim().is_empty() || !fits(name)) {
        let why = format!("a name, if given, is not blank, and has at most {MAX_TEXT} characters");
        return Err(Rejection::new("INVALID_NAME", why));
    }
    if email.as_ref().is_some_and(|email| !is_address(email) || !fits(email)) {
        let why = format!(
            "an e-mail address, if given, has one @ with something on both sides, no white space, and at most \
             {MAX_TEXT} characters"
        );
        return Err(Rejection::new("INVALID_EMAIL", why));
    }
    Ok(())
}

fn fits(text: &str) -> bool {
    text.chars().count() <= MAX_TEXT
}

fn is_address(text: &str) -> bool {
    let parts = text.split_once('@');
    parts.is_some_and(|(name, host)| !name.is_empty() && !host.is_empty() && !host.contains('@'))
        && !text.contains(char::is_whitespace)
}
