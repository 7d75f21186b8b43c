use huey::task;

struct Code(u32);

#[task]
fn plain(id: u64) -> Result<u64, Code> {
    if id == 0 { Err(Code(1)) } else { Ok(id) }
}

#[task]
async fn waiting(id: u64) -> Result<u64, u32> {
    Ok(id)
}

fn main() {
    drop(plain::job(1));
}
