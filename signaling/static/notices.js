// What the user should know now: at most one sentence for each subject, until it is over or dismissed.

export class Notices {
  #root;
  #shown = new Map();

  constructor(root) {
    this.#root = root;
  }

  get sentences() {
    return [...this.#shown.values()].map((element) => element.querySelector("p").textContent);
  }

  /** Shows `sentence` about `subject` ("media", "connection", ...), or with null takes it away. */
  set(subject, sentence, level = "warning") {
    this.#shown.get(subject)?.remove();
    this.#shown.delete(subject);
    if (!sentence) return;
    const element = document.createElement("div");
    element.className = `notice ${level}`;
    const text = document.createElement("p");
    text.textContent = sentence;
    const close = document.createElement("button");
    close.type = "button";
    close.className = "icon-button";
    close.setAttribute("aria-label", "Dismiss this message");
    close.append("×");
    close.onclick = () => this.set(subject, null);
    element.append(text, close);
    this.#shown.set(subject, element);
    this.#root.append(element);
  }
}
