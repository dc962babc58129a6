/// One lexical unit of a template and the line it starts on.
struct Token {
    enum Kind: Equatable {
        /// Text between tags, with white-space control already applied.
        case text(String)
        case variableBegin, variableEnd
        case blockBegin, blockEnd
        case name(String)
        case string(String)
        case integer(Int)
        case float(Double)
        /// An operator or a bracket, as written.
        case symbol(String)
        case end
    }

    var kind: Kind
    var line: Int

    /// What stands here, in the words of an error message.
    var description: String {
        switch kind {
        case .text: "template text"
        case .variableBegin: "'{{'"
        case .variableEnd: "'}}'"
        case .blockBegin: "'{%'"
        case .blockEnd: "'%}'"
        case .name(let name): "'\(name)'"
        case .string: "a string"
        case .integer, .float: "a number"
        case .symbol(let symbol): "'\(symbol)'"
        case .end: "the end of the template"
        }
    }
}
