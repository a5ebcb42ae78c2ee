//! The aggregate: a customer who registers, and may be erased.

use contracts::Extra;
use contracts::customers::{self, CustomerErased, CustomerRegistered, EraseCustomer, RegisterCustomer};
use micrograph::{Aggregate, Context, Decide, Decided, Decision, Rejection};

/// A customer.
#[derive(Debug)]
pub enum Customer {}

impl Aggregate for Customer {
    const NAME: &str = "customer";
    type State = customers::Customer;
}

impl Decide<RegisterCustomer> for Customer {
    fn decide(state: Option<&Self::State>, command: &RegisterCustomer, context: &Context) -> Decided<Self> {
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
    fn decide(state: Option<&Self::State>, command: &EraseCustomer, context: &Context) -> Decided<Self> {
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
