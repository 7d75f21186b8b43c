use huey::{Context, task};

#[task]
fn both(#[data] #[ctx] value: &Context) {
    let _ = value;
}

#[task]
fn two_contexts(#[ctx] a: &Context, #[ctx] b: &Context) {
    let _ = (a, b);
}

#[task]
fn owned_data(#[data] names: Vec<String>) {
    let _ = names;
}

#[task]
fn changed_data(#[data] names: &mut Vec<String>) {
    let _ = names;
}

#[task]
fn static_data(#[data] names: &'static Vec<String>) {
    let _ = names;
}

#[task]
fn owned_context(#[ctx] ctx: Context) {
    let _ = ctx;
}

#[task]
fn with_words(#[data(shared)] names: &Vec<String>, #[data] #[data] others: &Vec<u8>) {
    let _ = (names, others);
}

fn main() {
    drop(both::job());
    drop(owned_data::job());
}
