// Short ways to make and find elements.

export const find = (id) => document.getElementById(id);

/** Make an element: attributes by name, `on…` as listeners, children as nodes or texts. */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name in element && name !== "list") element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** Show a text in an element that is hidden while it has none. */
export function say(element, text) {
  element.textContent = text;
  element.hidden = !text;
}

let count = 0;
/** Return an id that no other element has. */
export const newId = () => `field-${++count}`;

/** Let a list of tabs be used with mouse and arrow keys; `chosen` is called with the tab. */
export function wireTabs(list, chosen) {
  const tabs = [...list.querySelectorAll('[role="tab"]:not([hidden])')];
  const choose = (tab, focus) => {
    for (const each of tabs) {
      each.setAttribute("aria-selected", String(each === tab));
      each.tabIndex = each === tab ? 0 : -1;
    }
    if (focus) tab.focus();
    chosen(tab);
  };
  tabs.forEach((tab, index) => {
    tab.tabIndex = tab.getAttribute("aria-selected") === "true" ? 0 : -1;
    tab.addEventListener("click", () => choose(tab, false));
    tab.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (step) choose(tabs[(index + step + tabs.length) % tabs.length], true);
    });
  });
  return (tab) => choose(tab, false);
}

/** Copy a text; tell it on the button that was pressed. */
export async function copy(text, button) {
  const before = button.textContent;
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  } catch {
    button.textContent = "Select and copy it yourself";
  }
  setTimeout(() => (button.textContent = before), 2000);
}
