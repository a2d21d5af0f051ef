import "./event"
import "./encoding"
import "./fetch"
