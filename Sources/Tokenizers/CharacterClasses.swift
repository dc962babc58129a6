/// A set of the character classes that pre-tokenizers ask for.
struct CharacterClass: OptionSet, Sendable {
    let rawValue: UInt8
    /// `\p{L}`.
    static let letter = CharacterClass(rawValue: 1)
    /// `\p{N}`.
    static let number = CharacterClass(rawValue: 2)
    /// `\s`: White_Space.
    static let space = CharacterClass(rawValue: 4)
    /// `\p{M}`.
    static let mark = CharacterClass(rawValue: 8)
    /// What `Digits` splits at: `\p{N}` of the newest Unicode.
    static let digit = CharacterClass(rawValue: 16)
    /// What `Punctuation` splits at.
    static let punctuation = CharacterClass(rawValue: 32)
    /// `\w`: letters, marks, decimal digits, connectors, joiners.
    static let word = CharacterClass(rawValue: 64)
}

/// The classes of every code point, looked up by pages of 256 that are made when first asked for.
struct CharacterClasses: Sendable {
    private var pageOf = [UInt16](repeating: .max, count: 0x1100)
    private var pages: [UInt8] = []

    /// The classes of a code point.
    @inline(__always)
    mutating func classes(_ scalar: UInt32) -> CharacterClass {
        var page = pageOf[Int(scalar >> 8)]
        if page == .max { page = makePage(scalar >> 8) }
        return CharacterClass(rawValue: pages[Int(page) << 8 | Int(scalar & 0xFF)])
    }

    private mutating func makePage(_ number: UInt32) -> UInt16 {
        let page = UInt16(pages.count >> 8)
        for value in number << 8...(number << 8 | 0xFF) { pages.append(Self.compute(value).rawValue) }
        pageOf[Int(number)] = page
        return page
    }

    private static func compute(_ value: UInt32) -> CharacterClass {
        guard let scalar = Unicode.Scalar(value) else { return [] }
        let properties = scalar.properties
        let age = properties.age.map { $0.major } ?? .max
        var classes: CharacterClass = properties.isWhitespace ? .space : []
        switch properties.generalCategory {
        case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter:
            classes.insert(.letter)
        case .decimalNumber:
            classes.formUnion([.number, .digit, .word])
        case .letterNumber, .otherNumber:
            classes.formUnion([.number, .digit])
        case .nonspacingMark, .spacingMark, .enclosingMark:
            classes.formUnion([.mark, .word])
        case .connectorPunctuation:
            classes.formUnion([.punctuation, .word])
        case .dashPunctuation, .openPunctuation, .closePunctuation, .initialPunctuation, .finalPunctuation,
            .otherPunctuation:
            classes.insert(.punctuation)
        default: break
        }
        if properties.isAlphabetic || value == 0x200C || value == 0x200D { classes.insert(.word) }
        if value < 0x80 && Self.asciiSymbols.contains(value) { classes.insert(.punctuation) }
        // The reference takes letters and numbers from Oniguruma's tables (Unicode 16) and punctuation from older ones
        // (Unicode 8), so what came later is neither there.
        if age > 16 { classes.subtract([.letter, .number, .mark]) }
        if age > 8 { classes.remove(.punctuation) }
        return classes
    }

    /// The ASCII characters that Unicode calls symbols and `Punctuation` calls punctuation.
    private static let asciiSymbols = Set("$+<=>^`|~".unicodeScalars.map(\.value))
}
