import Files
import Foundation
import TestSupport
import Testing

/// What each module may import: the package's graph, strictly downwards. The standard library's modules (Glibc, Foundation and
/// the like) are free.
private let allowed: [String: Set<String>] = [
    "CLI": ["Recipes", "Files", "ArgumentParser"],
    "Recipes": ["Trainers", "Adapters", "Datasets", "Models", "Tokenizers", "Layers", "Tensors", "Files", "Yams"],
    "Trainers": ["Models", "Datasets", "Layers", "Tensors", "Files"],
    "Adapters": ["Layers", "Tensors", "Files"],
    "Models": ["Layers", "Tokenizers", "Tensors", "Files"],
    "Datasets": ["Tokenizers", "Files"],
    "Layers": ["Tensors"],
    "Tokenizers": ["Files", "CPCRE2", "OrderedCollections"],
    "Tensors": ["CKernels", "Files"],
    "Files": ["CJSONC", "CPCRE2", "CZstd", "CXXHash", "OrderedCollections"],
]

private let system: Set<String> = [
    "Swift", "Glibc", "Darwin", "Foundation", "FoundationEssentials", "Dispatch", "Synchronization",
]

/// The module that a line imports: `import A`, `public import A`, `@preconcurrency import struct A.B`, and so on.
func importedModule(_ line: String) -> String? {
    let words = line.split(whereSeparator: \.isWhitespace).map(String.init)
    let modifiers: Set<String> = ["public", "package", "internal", "fileprivate", "private"]
    guard let at = words.firstIndex(of: "import"), at + 1 < words.count,
        words[..<at].allSatisfy({ modifiers.contains($0) || $0.hasPrefix("@") })
    else { return nil }
    let kinds: Set<String> = ["struct", "class", "enum", "protocol", "typealias", "func", "let", "var"]
    let name = kinds.contains(words[at + 1]) && at + 2 < words.count ? words[at + 2] : words[at + 1]
    return name.split(separator: ".").first.map(String.init)
}

@Suite struct ImportTests {
    @Test func everyImportPointsDown() throws {
        let files = Locations.files(under: "Sources", ending: ".swift")
        #expect(files.count > 10)
        for file in files {
            let module = String(file.split(separator: "/")[1])
            let permitted = try #require(allowed[module], "a folder without a line in the module table: \(module)")
            for line in try String(contentsOfFile: Locations.inRepository(file), encoding: .utf8).split(separator: "\n")
            {
                guard let name = importedModule(String(line)), !system.contains(name) else { continue }
                #expect(permitted.contains(name), "\(file) imports \(name)")
            }
        }
    }

    @Test func theTableHasNoCycle() {
        func height(_ module: String, _ path: [String]) -> Int {
            guard !path.contains(module) else { return 1000 }
            return (allowed[module] ?? []).map { 1 + height($0, path + [module]) }.max() ?? 0
        }
        for module in allowed.keys { #expect(height(module, []) < 1000, "\(module) imports itself") }
    }

    @Test(
        arguments: [
            ("import Files", "Files"), ("public import struct Files.JSON", "Files"),
            ("@preconcurrency import Yams", "Yams"),
            ("    import Glibc", "Glibc"), ("// import Files", nil), ("let important = 1", nil),
        ] as [(String, String?)])
    func importsAreRecognised(line: String, module: String?) {
        #expect(importedModule(line) == module)
    }
}
