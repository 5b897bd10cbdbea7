/* What scripts add to the page: copying, local times, and auto-refresh. */
"use strict";

document.documentElement.classList.add("js");

const QUIET_MS = 3000; // the page changes only after so long without input
const HIDDEN_TIMES = 6; // how much slower a hidden page refreshes
let touched = 0;
let stopped = false;
let refreshedAt = Date.now();

/* Times: in UTC as they come, or in the reader's own zone. */

const zone = {
  get local() { return stored("zone") === "local"; },
  flip() { store("zone", this.local ? "utc" : "local"); },
};

function stored(name) {
  try { return localStorage.getItem(name); } catch { return null; }
}

function store(name, value) {
  try { localStorage.setItem(name, value); } catch { /* without storage the choice is forgotten */ }
}

function exactly(iso) {
  if (!zone.local) return iso.replace("T", " ").replace("Z", " UTC");
  return new Date(iso).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "medium" });
}

function showTimes() {
  for (const time of document.querySelectorAll("time")) {
    const words = exactly(time.dateTime);
    if (time.classList.contains("exact")) time.textContent = words;
    else time.title = words;
  }
  const button = document.getElementById("zone");
  if (button) button.textContent = zone.local ? "Local time" : "UTC";
}

/* Copying. */

async function copy(button) {
  const from = button.dataset.copyFrom;
  const before = button.textContent;
  try {
    const text = from ? await (await fetch(from)).text() : button.dataset.copy;
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  } catch {
    button.textContent = "Not allowed"; // browsers deny the clipboard to pages without TLS
  }
  setTimeout(() => { button.textContent = before; }, 1500);
}

/* Covers that no longer load. */

function coverGone(image) {
  const instead = document.createElement("div");
  instead.className = "cover";
  instead.setAttribute("role", "img");
  instead.setAttribute("aria-label", image.alt);
  instead.textContent = "♪";
  image.replaceWith(instead);
}

/* Covers and players with an unconfirmed URL: no request before a click. */

function loadMedia(link) {
  const box = link.parentElement;
  const media = document.createElement(box.dataset.media === "img" ? "img" : "audio");
  if (media instanceof HTMLImageElement) {
    media.alt = box.dataset.name;
    media.referrerPolicy = "no-referrer";
  } else {
    media.controls = true;
    media.autoplay = true;
    media.setAttribute("aria-label", box.dataset.name);
  }
  media.src = box.dataset.address;
  box.dataset.loaded = "yes";
  link.replaceWith(media);
  if (media instanceof HTMLAudioElement) media.focus();
}

/* Auto-refresh: of the banner, the title and the icon always, of the rest while nobody reads or types. */

/* Typed or selected, and not sent yet. */
function unsaved(field) {
  if (field.type === "hidden") return false;
  if (field instanceof HTMLSelectElement) {
    return Array.from(field.options).some((option) => option.selected !== option.defaultSelected)
      && !(field.selectedIndex === 0 && !field.querySelector("option[selected]"));
  }
  return field.value !== field.defaultValue;
}

function inUse() {
  const focused = document.activeElement;
  return (!document.hidden && Date.now() - touched < QUIET_MS)
    || !document.getSelection().isCollapsed
    || (focused !== null && focused.matches("main input, main select, main textarea, main button"))
    || Array.from(document.querySelectorAll("audio")).some((audio) => !audio.paused);
}

const morphing = {
  morphStyle: "outerHTML",
  callbacks: {
    // Keep what is open, typed, playing or drawn.
    beforeAttributeUpdated: (name, node) => !(name === "open" && node.tagName === "DETAILS"),
    beforeNodeMorphed: (old, fresh) => {
      if (!(old instanceof Element)) return true;
      if (old.classList.contains("plot") && fresh instanceof Element) {
        old.dataset.plot = fresh.dataset.plot;
        return false;
      }
      if (old.dataset.loaded && old.dataset.address === fresh.dataset?.address) return false;
      if (old.matches("input, select, textarea") && unsaved(old)) return false;
      return !(old.tagName === "AUDIO" && old.getAttribute("src") === fresh.getAttribute("src"));
    },
  },
};

async function refresh() {
  try {
    const response = await fetch(location.href, { redirect: "manual" });
    if (response.type === "opaqueredirect") return stale("You are signed out. Reload the page to sign in.");
    if (!response.ok) return stale("Refresh failed, trying again.");
    return show(new DOMParser().parseFromString(await response.text(), "text/html"));
  } catch {
    return stale("Refresh failed, trying again.");
  }
}

function show(fresh) {
  if (!fresh.getElementById("health")) return stale("Refresh failed, trying again.");
  document.title = fresh.title;
  document.querySelector("link[rel=icon]").href = fresh.querySelector("link[rel=icon]").href;
  morph("health", fresh);
  const busy = inUse();
  if (!busy) morph("main", fresh);
  showTimes();
  if (!busy) document.dispatchEvent(new Event("refreshed"));
  refreshedAt = Date.now();
  return showState(busy ? "paused" : "live");
}

function morph(id, fresh) {
  Idiomorph.morph(document.getElementById(id), fresh.getElementById(id), morphing);
}

/* Old data must not look as if all systems were normal. */
function stale(why) {
  const health = document.getElementById("health");
  let words = health.querySelector(".stale");
  if (!words) {
    words = document.createElement("p");
    words.className = "stale";
    words.setAttribute("role", "alert");
    health.prepend(words);
  }
  const since = new Date(refreshedAt).toISOString().slice(0, 19) + "Z";
  health.querySelector("section.health").className = "health unknown";
  health.querySelector(".verdict").textContent = "? Status unknown";
  const text = `▲ ${why} Showing data from ${exactly(since)}.`;
  if (words.textContent !== text) words.textContent = text;
  if (!document.title.startsWith("⚠")) document.title = `⚠ ${document.title}`;
  document.querySelector("link[rel=icon]").href = document.body.dataset.problemIcon;
  showState("trouble");
}

const STATES = {
  live: "Auto-refresh: on",
  paused: "Auto-refresh: paused while you read",
  off: "Auto-refresh: off",
  trouble: "Auto-refresh: failed",
};

function showState(state) {
  const button = document.getElementById("live");
  button.textContent = STATES[stopped ? "off" : state];
  button.setAttribute("aria-pressed", String(!stopped));
}

function startRefreshing(seconds) {
  document.getElementById("live").addEventListener("click", () => {
    stopped = !stopped;
    showState("live");
  });
  for (const kind of ["pointerdown", "pointermove", "wheel", "keydown", "scroll", "touchstart"]) {
    document.addEventListener(kind, () => { touched = Date.now(); }, { passive: true, capture: true });
  }
  const turn = async () => {
    if (!stopped) await refresh();
    setTimeout(turn, (document.hidden ? HIDDEN_TIMES : 1) * seconds * 1000);
  };
  setTimeout(turn, seconds * 1000);
}

/* Start. */

document.addEventListener("click", (event) => {
  const button = event.target.closest("button.copy");
  if (button) copy(button);
  const link = event.target.closest("[data-media] > a.load");
  if (link) {
    event.preventDefault();
    loadMedia(link);
  }
});
document.addEventListener("error", (event) => {
  if (event.target instanceof HTMLImageElement) coverGone(event.target);
}, true);
document.getElementById("zone")?.addEventListener("click", () => {
  zone.flip();
  showTimes();
  document.dispatchEvent(new Event("refreshed"));
});
for (const image of document.images) {
  if (image.complete && image.naturalWidth === 0 && image.loading !== "lazy") coverGone(image);
}
showTimes();
if (document.body.dataset.live) startRefreshing(Number(document.body.dataset.live));
