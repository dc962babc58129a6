import Files

/// Reads typed values out of a `config.json` or GGUF metadata; every fault names the file and the key.
struct ConfigurationReader {
    let values: JSON
    let file: String
    /// The key path of `values` in the file, for messages.
    var path = ""

    func fault(_ key: String, _ message: String, hint: String? = nil) -> InputError {
        InputError(message, file: file, place: "`\(path)\(key)`", hint: hint)
    }

    /// A positive integer; `fallback` where the key is absent.
    func size(_ key: String, default fallback: Int? = nil) throws -> Int {
        guard let value = values[key] else {
            guard let fallback else { throw fault(key, "the key is missing") }
            return fallback
        }
        guard let size = value.integer, size > 0, size <= Int(Int32.max) else {
            throw fault(key, "a positive integer is needed, not \(value.text())")
        }
        return size
    }

    /// A positive finite number; `fallback` where the key is absent.
    func number(_ key: String, default fallback: Double? = nil) throws -> Double {
        guard let value = values[key] else {
            guard let fallback else { throw fault(key, "the key is missing") }
            return fallback
        }
        guard let number = value.number, number > 0, number.isFinite else {
            throw fault(key, "a positive number is needed, not \(value.text())")
        }
        return number
    }

    /// A boolean; `fallback` where the key is absent.
    func flag(_ key: String, default fallback: Bool) throws -> Bool {
        guard let value = values[key] else { return fallback }
        guard let flag = value.bool else { throw fault(key, "true or false is needed, not \(value.text())") }
        return flag
    }

    /// A string, or nil where the key is absent.
    func string(_ key: String) throws -> String? {
        guard let value = values[key] else { return nil }
        guard let string = value.string else { throw fault(key, "a string is needed, not \(value.text())") }
        return string
    }

    /// The reader of a nested object, or nil where the key is absent.
    func section(_ key: String) throws -> ConfigurationReader? {
        guard let value = values[key] else { return nil }
        guard value.object != nil else { throw fault(key, "an object is needed, not \(value.kind)") }
        return ConfigurationReader(values: value, file: file, path: "\(path)\(key).")
    }

    /// Fails unless the key is absent or has the only value that this program computes.
    func require(_ key: String, _ accepted: [JSON], because reason: String) throws {
        guard let value = values[key], !accepted.contains(value) else { return }
        throw fault(key, "\(value.text()) is not supported: \(reason)")
    }
}
