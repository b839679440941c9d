// Pages opened from the file get no workers from browsers; there, a hidden frame runs the search in their place.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super()
      this.waiting = []
      this.frame = document.createElement("iframe")
      this.frame.hidden = true
      this.frame.src = "about:blank"
      document.documentElement.append(this.frame)
      const inside = this.frame.contentWindow
      inside.postMessage = (data) => {
        const event = new MessageEvent("message", { data })
        this.dispatchEvent(event)
        if (this.onmessage) this.onmessage(event)
      }
      const script = inside.document.createElement("script")
      script.src = new URL(url, location.href)
      script.onload = () => {
        this.ready = inside
        this.waiting.splice(0).forEach((data) => this.postMessage(data))
      }
      inside.document.head.append(script)
    }

    postMessage(data) {
      if (!this.ready) this.waiting.push(data)
      else this.ready.dispatchEvent(new this.ready.MessageEvent("message", { data }))
    }

    terminate() {
      this.frame.remove()
    }
  }
}
