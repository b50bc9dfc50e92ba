// The side: text chat and the event log, and the tabs that switch between them.

const LINES_KEPT = 500; // in each list; the oldest go

function timeElement(date) {
  const time = document.createElement("time");
  time.dateTime = date.toISOString();
  time.textContent = date.toLocaleTimeString([], { hour12: false });
  return time;
}

function span(className, text) {
  const element = document.createElement("span");
  element.className = className;
  element.textContent = text;
  return element;
}

export class Chat {
  lines = []; // { time, name, text, own }
  #list;

  /** `onSend(text)` returns false when nobody got it: the text then stays in the field. */
  constructor({ list, form, onSend }) {
    this.#list = list;
    const input = form.querySelector("input");
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const text = input.value.trim();
      if (text && onSend(text)) input.value = "";
      input.focus();
    });
  }

  add(name, text, { own = false } = {}) {
    const line = { time: new Date(), name, text: text.slice(0, 4000), own };
    this.lines.push(line);
    const item = document.createElement("li");
    item.classList.toggle("own", own);
    item.append(span("name", own ? "You" : name), timeElement(line.time), span("text", line.text));
    const atEnd = this.#list.scrollHeight - this.#list.scrollTop - this.#list.clientHeight < 60;
    this.#list.append(item);
    if (this.lines.length > LINES_KEPT) {
      this.lines.shift();
      this.#list.firstElementChild.remove();
    }
    if (atEnd || own) this.#list.scrollTop = this.#list.scrollHeight;
  }
}

export class Log {
  entries = []; // newest first: { time, who, what, level }
  #list;
  #announcer;

  constructor({ list, announcer }) {
    this.#list = list;
    this.#announcer = announcer;
  }

  /** `level`: "info" or "error". */
  add(who, what, level = "info") {
    const entry = { time: new Date(), who, what, level };
    this.entries.unshift(entry);
    const item = document.createElement("li");
    item.className = level;
    item.append(timeElement(entry.time), span("name", who), span("text", what));
    this.#list.prepend(item);
    if (this.entries.length > LINES_KEPT) {
      this.entries.pop();
      this.#list.lastElementChild.remove();
    }
    this.#announcer.textContent = `${who} ${what}`;
  }
}

/** Tabs as screen readers and keyboards know them: one is in the tab order, arrows move between them. */
export function makeTabs(tabs, { onSelect }) {
  const select = (chosen) => {
    for (const tab of tabs) {
      const selected = tab === chosen;
      tab.setAttribute("aria-selected", String(selected));
      tab.tabIndex = selected ? 0 : -1;
      document.getElementById(tab.getAttribute("aria-controls")).hidden = !selected;
    }
    onSelect(chosen);
  };
  for (const [index, tab] of tabs.entries()) {
    tab.addEventListener("click", () => select(tab));
    tab.addEventListener("keydown", ({ key }) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[key];
      if (!step) return;
      const next = tabs[(index + step + tabs.length) % tabs.length];
      select(next);
      next.focus();
    });
  }
}
