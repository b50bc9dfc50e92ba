// The access token: from behind the # of the address, which browsers send to no server and which is taken out at once;
// then kept for this tab only, so that a reload joins again.

const KEPT = "peer-token";

function fromAddress() {
  const found = new URLSearchParams(location.hash.slice(1)).get("token");
  if (found !== null) history.replaceState(null, "", location.pathname + location.search);
  return found?.trim() || null;
}

// Storage can be forbidden by the user's settings; then the token lasts as long as the page.
export function keepToken(token) {
  try {
    if (token) sessionStorage.setItem(KEPT, token);
    else sessionStorage.removeItem(KEPT);
  } catch {
    return;
  }
}

function kept() {
  try {
    return sessionStorage.getItem(KEPT);
  } catch {
    return null;
  }
}

/** The token of the address, else the one of before; "" without. */
export function readToken() {
  const token = fromAddress() ?? kept() ?? "";
  keepToken(token);
  return token;
}

/** Calls `take(token)` whenever another one is put behind the #. */
export function watchToken(take) {
  addEventListener("hashchange", () => {
    const token = fromAddress();
    if (!token) return;
    keepToken(token);
    take(token);
  });
}
