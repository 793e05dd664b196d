//! Pages of lists that are sorted by name.

const LARGEST_PAGE: usize = 1000;

/// One page of rows that are sorted by name; the token is the name of the first row of the next page.
pub(super) fn page<'a, T: 'a>(
    rows: impl Iterator<Item = T>,
    name: impl Fn(&T) -> &'a str,
    size: i64,
    token: &str,
) -> (Vec<T>, String) {
    let size = usize::try_from(size).ok().filter(|size| (1..=LARGEST_PAGE).contains(size)).unwrap_or(LARGEST_PAGE);
    let mut page: Vec<T> = rows.filter(|row| name(row) >= token).take(size + 1).collect();
    let next = if page.len() > size { page.pop().map(|row| name(&row).to_owned()) } else { None };
    (page, next.unwrap_or_default())
}
