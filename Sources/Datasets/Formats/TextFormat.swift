import Files

/// `{"text": …}`: plain text, trained from its second token to its end.
enum TextFormat: RowFormat {
    static let name = "text"
    static let requiredKeys = ["text"]
    static let optionalKeys: [String] = []

    static func row(from object: JSON) throws -> Row { .text(try object.requiredString("text")) }
}
