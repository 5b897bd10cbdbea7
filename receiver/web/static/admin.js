/* What the page can do more with scripts: copy, local times, and renewing itself while nobody reads. */
"use strict";

document.documentElement.classList.add("js");

const QUIET_MS = 3000; // nobody has touched the page for so long before it may change under him
const HIDDEN_TIMES = 6; // how much slower a page renews itself that nobody sees
let touched = 0;
let stopped = false;
let renewedAt = Date.now();

/* Times: in UTC as they come, or in the reader's own zone. */

const zone = {
  get local() { return stored("zone") === "local"; },
  flip() { store("zone", this.local ? "utc" : "local"); },
};

function stored(name) {
  try { return localStorage.getItem(name); } catch { return null; }
}

function store(name, value) {
  try { localStorage.setItem(name, value); } catch { /* a browser that keeps nothing forgets it */ }
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
    button.textContent = "Not allowed here"; // browsers keep the clipboard from pages that came without TLS
  }
  setTimeout(() => { button.textContent = before; }, 1500);
}

/* Covers that vanished. */

function coverGone(image) {
  const instead = document.createElement("div");
  instead.className = "cover";
  instead.setAttribute("role", "img");
  instead.setAttribute("aria-label", image.alt);
  instead.textContent = "♪";
  image.replaceWith(instead);
}

/* Covers and players whose address only a callback told: no request before a person asks for one. */

function loadMedia(link) {
  const place = link.parentElement;
  const media = document.createElement(place.dataset.media === "img" ? "img" : "audio");
  if (media instanceof HTMLImageElement) {
    media.alt = place.dataset.name;
    media.referrerPolicy = "no-referrer";
  } else {
    media.controls = true;
    media.autoplay = true;
    media.setAttribute("aria-label", place.dataset.name);
  }
  media.src = place.dataset.address;
  place.dataset.loaded = "yes";
  link.replaceWith(media);
  if (media instanceof HTMLAudioElement) media.focus();
}

/* Renewing itself. The health line, the title and the icon always; the rest while nobody reads or writes. */

/* Typed or chosen, and not sent yet. */
function unsaved(field) {
  if (field.type === "hidden") return false;
  if (field instanceof HTMLSelectElement) {
    return Array.from(field.options).some((option) => option.selected !== option.defaultSelected)
      && !(field.selectedIndex === 0 && !field.querySelector("option[selected]"));
  }
  return field.value !== field.defaultValue;
}

function beingRead() {
  const focused = document.activeElement;
  return (!document.hidden && Date.now() - touched < QUIET_MS)
    || !document.getSelection().isCollapsed
    || (focused !== null && focused.matches("main input, main select, main textarea, main button"))
    || Array.from(document.querySelectorAll("audio")).some((audio) => !audio.paused);
}

const morphing = {
  morphStyle: "outerHTML",
  callbacks: {
    // What the reader has opened or typed stays, what plays goes on, what scripts have drawn is left alone.
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

async function renew() {
  try {
    const answer = await fetch(location.href, { redirect: "manual" });
    if (answer.type === "opaqueredirect") return stale("You are signed out; reload the page to sign in.");
    if (!answer.ok) return stale("Could not load, trying again.");
    return put(new DOMParser().parseFromString(await answer.text(), "text/html"));
  } catch {
    return stale("Could not load, trying again.");
  }
}

function put(fresh) {
  if (!fresh.getElementById("health")) return stale("Could not load, trying again.");
  document.title = fresh.title;
  document.querySelector("link[rel=icon]").href = fresh.querySelector("link[rel=icon]").href;
  morph("health", fresh);
  const reading = beingRead();
  if (!reading) morph("main", fresh);
  showTimes();
  if (!reading) document.dispatchEvent(new Event("renewed"));
  renewedAt = Date.now();
  return say(reading ? "paused" : "live");
}

function morph(id, fresh) {
  Idiomorph.morph(document.getElementById(id), fresh.getElementById(id), morphing);
}

/* What is shown may be wrong by now, and must not look as if all were well. */
function stale(why) {
  const health = document.getElementById("health");
  let words = health.querySelector(".stale");
  if (!words) {
    words = document.createElement("p");
    words.className = "stale";
    words.setAttribute("role", "alert");
    health.prepend(words);
  }
  const since = new Date(renewedAt).toISOString().slice(0, 19) + "Z";
  const text = `▲ ${why} What is shown is of ${exactly(since)}.`;
  if (words.textContent !== text) words.textContent = text;
  if (!document.title.startsWith("⚠")) document.title = `⚠ ${document.title}`;
  document.querySelector("link[rel=icon]").href = document.body.dataset.problemIcon;
  say("trouble");
}

const SAID = { live: "Live", paused: "Live, paused", off: "Updates off", trouble: "Not up to date" };

function say(state) {
  const button = document.getElementById("live");
  button.textContent = SAID[stopped ? "off" : state];
  button.setAttribute("aria-pressed", String(!stopped));
}

function keepRenewing(seconds) {
  document.getElementById("live").addEventListener("click", () => {
    stopped = !stopped;
    say("live");
  });
  for (const kind of ["pointerdown", "pointermove", "wheel", "keydown", "scroll", "touchstart"]) {
    document.addEventListener(kind, () => { touched = Date.now(); }, { passive: true, capture: true });
  }
  const turn = async () => {
    if (!stopped) await renew();
    setTimeout(turn, (document.hidden ? HIDDEN_TIMES : 1) * seconds * 1000);
  };
  setTimeout(turn, seconds * 1000);
}

/* Begin. */

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
  document.dispatchEvent(new Event("renewed"));
});
for (const image of document.images) {
  if (image.complete && image.naturalWidth === 0 && image.loading !== "lazy") coverGone(image);
}
showTimes();
if (document.body.dataset.live) keepRenewing(Number(document.body.dataset.live));
