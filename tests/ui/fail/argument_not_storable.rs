use huey::task;

struct Settings {
    depth: u8,
}

#[task]
fn first(settings: Settings) {
    let _ = settings.depth;
}

#[task]
fn behind_another(id: u64, all: Vec<Settings>) {
    let _ = (id, all);
}

fn main() {
    drop(first::job(Settings { depth: 1 }).priority(2));
}
