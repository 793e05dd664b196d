// Building and updating elements. Text always arrives as text nodes: what users write can never become markup.

/** An element with properties, attributes (names with a dash, `role`), listeners (`onclick`) and children. */
export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "class") element.className = value;
    else if (name.includes("-") || name === "role") element.setAttribute(name, value);
    else element[name] = value;
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

export const byId = (id) => document.getElementById(id);

/**
 * Makes `parent`'s children those of `items`, by key. An element is built again only if its item changed; then `onchange`
 * hears of it, and the focus stays on the control of the same `data-focus`, or on what took its place.
 */
export function reconcile(parent, items, { key, build, onchange }) {
  const known = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  let place = parent.firstElementChild;
  for (const item of items) {
    const name = String(key(item));
    const signature = JSON.stringify(item);
    let element = known.get(name);
    known.delete(name);
    if (element?.signature !== signature) {
      const old = element;
      element = build(item);
      element.dataset.key = name;
      element.signature = signature;
      if (old) {
        keepState(old, element);
        if (place === old) place = element;
        const focused = old.contains(document.activeElement) ? document.activeElement : null;
        old.replaceWith(element);
        if (focused) refocus(element, focused.dataset.focus);
        onchange?.(element, item, old);
      } else {
        onchange?.(element, item, null);
      }
    }
    if (element === place) place = place.nextElementSibling;
    else parent.insertBefore(element, place);
  }
  for (const gone of known.values()) {
    const hadFocus = gone.contains(document.activeElement);
    gone.remove();
    if (hadFocus) focusOn(parent);
  }
}

/** The focus goes to the control of the same name, or else to what is there instead: never back to the page's top. */
function refocus(element, name) {
  const same = name && element.querySelector(`[data-focus="${CSS.escape(name)}"]:not(:disabled)`);
  if (same) same.focus();
  else focusOn(element);
}

/** Puts the focus on something that is no control. */
function focusOn(element) {
  element.tabIndex = -1;
  element.focus({ preventScroll: true });
}

/** What a person opened or typed survives a rebuild. */
function keepState(old, element) {
  for (const part of old.querySelectorAll(":is(details[open], input, select, textarea)[data-focus]")) {
    const same = element.querySelector(`[data-focus="${CSS.escape(part.dataset.focus)}"]`);
    if (same?.tagName !== part.tagName) continue;
    if (part.tagName === "DETAILS") same.open = true;
    else if (part.multiple) [...same.options].forEach((option) => { option.selected = [...part.selectedOptions].some((chosen) => chosen.value === option.value); });
    else if (["checkbox", "radio"].includes(part.type)) same.checked = part.checked;
    else same.value = part.value;
  }
}

let toastTimer;

/** Shows that something did not work. */
export function complain(text) {
  const toast = byId("toast");
  toast.textContent = text;
  // Above a dialog, too.
  toast.showPopover();
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => {
    toast.hidePopover();
    toast.textContent = "";
  }, 10000);
}
