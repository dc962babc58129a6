import Adapters
import Datasets
import Foundation
import Models
import Recipes
import TestSupport
import Testing
import Trainers

/// Each axis of the program is a folder of files, one for each thing, and a registry that lists them. A file that nobody listed
/// would simply not be there for the user: here it fails.
@Suite("Registries and their folders") struct RegistryTests {
    @Test("model families")
    func families() {
        #expect(files("Sources/Models/Families") == names(ModelRegistry.families))
        #expect(areDistinct(ModelRegistry.families.map { $0.name }))
        #expect(areDistinct(ModelRegistry.families.map { $0.ggufArchitecture }))
    }

    @Test("adapter methods")
    func adapters() {
        #expect(files("Sources/Adapters/Methods") == names(AdapterRegistry.methods, without: "Configuration"))
        #expect(areDistinct(AdapterRegistry.methods.map { $0.peftType }))
        #expect(words("adapter.type") == AdapterRegistry.methods.map { $0.type }.sorted())
    }

    @Test("row formats")
    func formats() {
        #expect(files("Sources/Datasets/Formats") == names(RowFormats.all))
        #expect(areDistinct(RowFormats.all.map { $0.name }))
        #expect(words("dataset.format") == (RowFormats.all.map { $0.name } + ["auto"]).sorted())
    }

    /// An objective is a type that conforms to `Objective`, or to `PolicyMethod`; the other files of the folder help them.
    @Test("objectives")
    func objectives() throws {
        let folder = "Sources/Trainers/Objectives"
        let conforming = try files(folder).filter { name in
            let text = try String(contentsOfFile: Locations.inRepository("\(folder)/\(name).swift"), encoding: .utf8)
            return ["struct \(name): Objective", "class \(name): Objective", "struct \(name): PolicyMethod"].contains {
                text.contains($0)
            }
        }
        let types = conforming.map { $0.replacing(/Objective$/, with: "").lowercased() }
        #expect(!types.isEmpty && words("objective.type").map { $0.replacing("_", with: "") } == types.sorted())
    }

    @Test("alarms")
    func alarms() {
        #expect(files("Sources/Trainers/Health/Alarms") == names(HealthAlarms.all))
    }

    /// Every method that trains has a recipe that shows it; `RecipeReaderTests` reads each of them.
    @Test("recipes")
    func recipes() throws {
        let texts = try Locations.files(under: "Recipes", ending: ".yaml").map {
            try String(contentsOfFile: Locations.inRepository($0), encoding: .utf8)
        }
        for type in words("adapter.type") + words("objective.type") {
            #expect(texts.contains { $0.contains("type: \(type)\n") }, "no recipe with type: \(type)")
        }
    }

    /// The files of a folder, without `.swift`, sorted.
    private func files(_ folder: String) -> [String] {
        Locations.files(under: folder, ending: ".swift").map { $0.dropFirst(folder.count + 1).dropLast(6) }
            .map(String.init)
    }

    /// The names of the types in a registry, sorted.
    private func names(_ registry: [Any.Type], without suffix: String = "") -> [String] {
        registry.map { type in
            let name = String(describing: type)
            return name.hasSuffix(suffix) ? String(name.dropLast(suffix.count)) : name
        }.sorted()
    }

    /// What a recipe's key may be, where its description is a list of words in backquotes; sorted.
    private func words(_ path: String) -> [String] {
        let kind = RecipeReference.keys.first { $0.path == path }?.kind ?? ""
        return kind.matches(of: /`([^`]+)`/).map { String($0.output.1) }.sorted()
    }

    private func areDistinct(_ names: [String]) -> Bool { Set(names).count == names.count }
}
