import "./url"
import "./event"
import "./encoding"
import "./fetch"
