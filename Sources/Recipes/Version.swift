/// This program's version, recorded in what it writes.
public let graftVersion = "0.1.0"
